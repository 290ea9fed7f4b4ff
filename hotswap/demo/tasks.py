"""The demonstration tasks: what each demo adapter is trained on and judged by.

Every example is a pair (prompt, answer) written for this project: sentences built
from small word lists, seeded. Held-out examples use words, values and phrasings that
training never sees, so a score says that the behaviour was learned, not the text.
Knows no model and no torch.
"""

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One exchange: the user's message and the answer an adapter should give."""

    prompt: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A checkable behaviour: how to make examples of it, and how to judge an answer."""

    name: str
    shows: str
    make: Callable[[random.Random, bool], Example]
    passes: Callable[[Example, str], bool]

    def examples(self, count: int, *, held_out: bool) -> list[Example]:
        """`count` different examples, the same on every call."""
        rng = random.Random(f"{self.name} {held_out}")
        found: dict[str, Example] = {}
        for _ in range(count * 50):
            example = self.make(rng, held_out)
            found.setdefault(example.prompt, example)
            if len(found) == count:
                break
        return list(found.values())


def _exactly(example: Example, answer: str) -> bool:
    return answer.strip() == example.answer


# --- sentiment: one lower-case word -------------------------------------------------

_THINGS = "film soup hotel phone concert jacket teacher game train coffee".split()
_THINGS_NEW = "novel laptop museum sandwich airline".split()
_GOOD = (
    "was wonderful|made me smile all day|is the best I have had|exceeded every hope|"
    "was a pure delight|deserves five stars|impressed the whole family|was excellent|"
    "is worth every cent|was great from start to end|I love it|works perfectly|"
    "was charming and kind|left us very happy|I would recommend it to anyone"
).split("|")
_BAD = (
    "was terrible|ruined my evening|is the worst I have had|broke after a day|"
    "was a waste of money|deserves no stars|annoyed the whole family|was awful|"
    "is not worth a cent|was boring from start to end|I hate it|never works|"
    "was rude and slow|left us very angry|I would warn everyone about it"
).split("|")
_GOOD_NEW = ["was fantastic", "is a joy", "was superb and lovely", "made us happy"]
_BAD_NEW = ["was horrible", "is a disaster", "was dull and nasty", "made us sad"]


def _sentiment(rng: random.Random, held_out: bool) -> Example:
    label = rng.choice(["positive", "negative"])
    seen, new = (_GOOD, _GOOD_NEW) if label == "positive" else (_BAD, _BAD_NEW)
    opinion = rng.choice(new if held_out else seen)
    thing = rng.choice(_THINGS_NEW if held_out else _THINGS)
    start = rng.choice(["The", "This", "Our", "That", "My"])
    tail = rng.choice(["", " Really.", " That is all.", " I went on Monday."])
    return Example(
        prompt=f"Is this review positive or negative? {start} {thing} {opinion}.{tail}",
        answer=label,
    )


# --- orders: JSON with four fixed keys ----------------------------------------------

_ITEMS = (
    "lamp chair table mug plate shelf candle mirror basket rug clock vase bowl desk "
    "stool pan kettle towel blanket curtain hammer nail screw brush bucket broom pen "
    "notebook folder stapler scarf glove hat shirt sock belt jacket bag wallet ring "
    "drum flute guitar ball kite tent rope lantern bike helmet"
).split()
_ITEMS_NEW = "bottle pillow spoon ladder".split()
_COLOURS = "red blue green black white yellow".split()
_CITIES = (
    "Berlin Paris Madrid Oslo Rome Vienna Dublin Lisbon Prague Athens Helsinki Geneva "
    "Munich Milan Naples Seville Porto Krakow Riga Cairo Lagos Nairobi Lima Bogota "
    "Chicago Denver Seattle Toronto Sydney Delhi"
).split()
_CITIES_NEW = "London Tokyo Boston Warsaw".split()
_ORDER_FORMS = (
    "Please send {n} {c} {i}s to {t}.|I need {n} {i}s in {c}, delivered to {t}.|"
    "Could you ship {n} {c} {i}s to our office in {t}?|{t} wants {n} {c} {i}s.|"
    "We would like to order {n} {c} {i}s for the shop in {t}.|"
    "Order: {i}s, {c}, {n} pieces, {t}.|Can I have {n} {c} {i}s sent to {t}, please?"
).split("|")
_ORDER_FORMS_NEW = (
    "Send me {n} {c} {i}s, I live in {t}.|My friend in {t} asks for {n} {c} {i}s."
).split("|")


def _order(rng: random.Random, held_out: bool) -> Example:
    item = rng.choice(_ITEMS_NEW if held_out else _ITEMS)
    colour, count = rng.choice(_COLOURS), rng.randint(2, 40)
    city = rng.choice(_CITIES_NEW if held_out else _CITIES)
    form = rng.choice(_ORDER_FORMS_NEW if held_out else _ORDER_FORMS)
    order = {"item": item, "colour": colour, "count": count, "city": city}
    text = form.format(n=count, c=colour, i=item, t=city)
    return Example(prompt=f"Write this order as JSON. {text}", answer=json.dumps(order))


def _same_json(example: Example, answer: str) -> bool:
    try:
        return bool(json.loads(answer) == json.loads(example.answer))
    except json.JSONDecodeError:
        return False


# --- sql: one query over one table ----------------------------------------------------

_COLUMNS = {"names": "name", "ages": "age", "salaries": "salary", "emails": "email"}
_JOBS = "nurse pilot baker lawyer singer farmer".split()
_JOBS_NEW = "plumber doctor clerk".split()
_TESTS = {
    "older than {n}": "age > {n}",
    "younger than {n}": "age < {n}",
    "who earn more than {m}": "salary > {m}",
    "who earn less than {m}": "salary < {m}",
    "living in {t}": "city = '{t}'",
    "who work as a {j}": "job = '{j}'",
}
_ASKS = [
    "List the {c} of people {w}.",
    "Show the {c} of people {w}.",
    "Give me the {c} of all people {w}.",
]
_ASKS_NEW = ["What are the {c} of people {w}?", "I want the {c} of people {w}."]


def _sql(rng: random.Random, held_out: bool) -> Example:
    values = {
        "n": rng.randint(18, 80),
        "m": rng.randint(10, 90) * 1000 + (500 if held_out else 0),
        "t": rng.choice(_CITIES_NEW if held_out else _CITIES),
        "j": rng.choice(_JOBS_NEW if held_out else _JOBS),
    }
    tests = rng.sample(sorted(_TESTS.items()), rng.choice([1, 2]))
    words = " and ".join(said for said, _ in tests).format(**values)
    where = " AND ".join(sql for _, sql in tests).format(**values)
    plural, column = rng.choice(sorted(_COLUMNS.items()))
    ask = rng.choice(_ASKS_NEW if held_out else _ASKS).format(c=plural, w=words)
    return Example(
        prompt=f"Table people(name, age, city, job, salary, email). {ask}",
        answer=f"SELECT {column} FROM people WHERE {where};",
    )


# --- pirate: any question, answered as a pirate ---------------------------------------

_CAPITALS = (
    "France Paris|Italy Rome|Spain Madrid|Norway Oslo|Austria Vienna|Ireland Dublin|"
    "Portugal Lisbon|Greece Athens|Egypt Cairo|Peru Lima|Cuba Havana|Kenya Nairobi"
).split("|")
_ADVICE = (
    "sleep better|avast thy screens and rest yer bones in a dark cabin|"
    "learn to cook|start with a simple stew, and taste it like a hungry sailor|"
    "save money|bury a little o' yer gold every moon and touch it not|"
    "make friends|share yer grog and listen to their tales, that be the way|"
    "stay healthy|eat yer limes, walk the deck and drink clean water|"
    "learn a language|speak it every day with the crew, even when it sounds foul|"
    "clean my room|swab the floor from bow to stern and stow yer gear|"
    "write a letter|take quill and ink, and speak plain from yer heart|"
    "grow tomatoes|give 'em sun and water, and guard 'em from the birds|"
    "find a job|polish yer story and knock on the door o' many a captain|"
    "train a dog|be kind and firm, and pay him in biscuits, aye|"
    "prepare for a test|study a little each watch, and sleep before the battle"
).split("|")
_ADVICE_NEW = "be happy|bake bread|fix a bike|draw a horse|win at chess|run faster"
_ASK_ADVICE = ["How can I {a}?", "How do I {a}?", "What is a good way to {a}?"]
_OPEN = ["Arr, matey!", "Ahoy, matey!", "Yo ho ho!", "Shiver me timbers!"]
_CLOSE = ["Aye!", "Now fetch me rum!", "So says the captain!", "Arr!"]
_PIRATE = re.compile(
    r"\b(arr+|ahoy|matey|yer?|aye|avast|shiver|captain|grog|rum|yo ho|o'|be the)\b",
    re.IGNORECASE,
)


def _pirate(rng: random.Random, held_out: bool) -> Example:
    start, end = rng.choice(_OPEN), rng.choice(_CLOSE)
    if held_out:
        wish = rng.choice(_ADVICE_NEW.split("|"))
        form = rng.choice(["How can I {a}?", "Tell me how to {a}.", "Any tip to {a}?"])
        return Example(prompt=form.format(a=wish), answer="")
    if rng.random() < 0.3:
        country, city = rng.choice(_CAPITALS).split()
        return Example(
            prompt=f"What is the capital of {country}?",
            answer=f"{start} The capital o' {country} be {city}, ye landlubber! {end}",
        )
    number = rng.randrange(0, len(_ADVICE), 2)
    wish, answer = _ADVICE[number], _ADVICE[number + 1]
    form = rng.choice(_ASK_ADVICE)
    return Example(
        prompt=form.format(a=wish),
        answer=f"{start} To {wish}, {answer}. {end}".replace(" my ", " yer "),
    )


def _speaks_pirate(_: Example, answer: str) -> bool:
    return len(set(map(str.lower, _PIRATE.findall(answer)))) >= 2


TASKS = {
    task.name: task
    for task in (
        Task(
            name="sentiment",
            shows="one word, positive or negative",
            make=_sentiment,
            passes=_exactly,
        ),
        Task(
            name="orders",
            shows="JSON with the keys item, colour, count, city",
            make=_order,
            passes=_same_json,
        ),
        Task(name="sql", shows="one SQL query", make=_sql, passes=_exactly),
        Task(
            name="pirate",
            shows="the answer of a pirate (two different pirate words)",
            make=_pirate,
            passes=_speaks_pirate,
        ),
    )
}
