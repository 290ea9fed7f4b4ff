"""What clients ask for in a structure; the model is noise: all values are bounded."""

from typing import Literal

from pydantic import BaseModel


class Mood(BaseModel, extra="forbid"):
    """How an answer sounds."""

    mood: Literal["calm", "angry"]
    loud: bool


class Weather(BaseModel, extra="forbid"):
    """The weather of a city."""

    city: Literal["Paris", "Rome"]
    celsius: bool
