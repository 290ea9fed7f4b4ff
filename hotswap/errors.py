"""Every error that a client or an operator can meet. Knows no HTTP and no server's
words: what only HTTP or DJL's routes know is in `api/http_errors` and `api/djl_errors`,
what only clients of several servers meet in `sharing/crew_errors`.

HotswapError
├── ClientError              the request is at fault; `field` names where
│   ├── BadRequest           a value is wrong
│   ├── GrammarFailed        the form that an answer is held to is too dear to follow
│   ├── PromptTooLong        the prompt or the answer asked for does not fit
│   ├── UnknownModel         `model` names nothing that is served
│   ├── UnknownAdapter       no such adapter, or it is not served; says why
│   ├── BadSum               a sum of adapters that cannot be read, or not be made
│   ├── NotFound             what the path names is not there
│   ├── AdapterExists        the name is taken
│   ├── GenerationMismatch   the name stands for another generation than expected
│   ├── SourceUnsupported    a URL where folders alone are served
│   └── SourceForbidden      the source lies outside what is configured
├── AdapterRefused           an adapter's files cannot be served; `reason` says why
├── Vetoed                   the operator's hooks refused it; the message is theirs
├── NoRoom                   no memory, or no place within the limits
├── NotKept                  the journal or the endpoints could not be written
├── NoRenderer               no process to render a chat template in, just now
├── OtherTokenizer           the adapter was replaced while its prompt was encoded
├── Overloaded               too many jobs wait; try again later
├── StillLoading             the adapter's files are being read, or cannot be just now
├── Stopping                 the server is going down
├── InternalError            a bug of the server's own
├── StepFailed               the model failed on this job's step
│   └── DeviceFull           the device had no memory for a step so large
├── DeviceLost               what computes the model has ended: so does the server
├── MergeFailed              the adapter could not be merged
├── MixFailed                the adapter could not run mixed
├── StartFailed              the server cannot start: a bad flag, file or model
└── CommandFailed            what a command asked of a running server was not done
"""


class HotswapError(Exception):
    """Root of the tree. The message is for the person who reads the answer.

    `is_passing`: the same may go well later, with nothing changed by who asks.
    """

    is_passing = False


class ClientError(HotswapError):
    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class BadRequest(ClientError):
    pass


class GrammarFailed(ClientError):
    def __init__(self) -> None:
        super().__init__(
            "the answer cannot go on: what it is held to has become too dear to follow"
        )


class PromptTooLong(ClientError):
    def __init__(self, prompt: int, answer: int, limit: int, field: str) -> None:
        super().__init__(
            f"`{field}` has {prompt} tokens and up to {answer} are to be generated: "
            f"together at most {limit} fit",
            field,
        )

    @classmethod
    def by_characters(cls, characters: int, limit: int, field: str) -> "PromptTooLong":
        """Of a text that was not encoded: no tokens hold as much."""
        error = cls.__new__(cls)
        ClientError.__init__(
            error,
            f"`{field}` has {characters} characters, more than {limit} tokens hold",
            field,
        )
        return error


class UnknownModel(ClientError):
    def __init__(self, model: str, reason: str | None = None) -> None:
        why = f"is not served: {reason}" if reason else "does not exist"
        super().__init__(f"The model `{model}` {why}.", "model")


class UnknownAdapter(ClientError):
    def __init__(self, adapter: str, reason: str | None = None) -> None:
        why = f"is not served: {reason}" if reason else "is not registered"
        super().__init__(f"The adapter `{adapter}` {why}.", "adapter")
        self.adapter = adapter
        self.reason = reason


class BadSum(ClientError):
    """Whoever knows where it was named says the `field`."""


class NotFound(ClientError):
    pass


class AdapterExists(ClientError):
    def __init__(self, adapter: str) -> None:
        super().__init__(f"The adapter {adapter} already exists.", "name")
        self.adapter = adapter


class GenerationMismatch(ClientError):
    def __init__(self, adapter: str, expected: str, found: str | None) -> None:
        super().__init__(
            f"The adapter `{adapter}` stands for generation {found or 'none'}, "
            f"not {expected or 'none'}.",
            "expected_generation",
        )


class SourceUnsupported(ClientError):
    """`setting`: what could allow it."""

    def __init__(self, src: str, scheme: str, setting: str | None = None) -> None:
        why = f", as {setting} names none" if setting else ""
        super().__init__(
            f"`{src}` is a {scheme} URL: URL adapters are not currently supported, "
            f"only folders{why}",
            "src",
        )


class SourceForbidden(ClientError):
    def __init__(
        self,
        src: str,
        places: str = "the adapters directory and `roots` under [adapters]",
    ) -> None:
        super().__init__(
            f"`{src}` lies outside what adapters may come from: {places}", "src"
        )


class AdapterRefused(HotswapError):
    """`code` is stable and short; `reason` is a sentence that names file and module.

    Passing are those whose files could not be read, whatever is in them.
    """

    def __init__(self, code: str, reason: str, *, is_passing: bool = False) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.is_passing = is_passing


class Vetoed(HotswapError):
    pass


class NoRoom(HotswapError):
    pass


class NotKept(HotswapError):
    pass


class NoRenderer(HotswapError):
    is_passing = True

    def __init__(self) -> None:
        super().__init__("the chat template cannot be rendered now")


class OtherTokenizer(HotswapError):
    def __init__(self, adapter: str) -> None:
        super().__init__(
            f"The adapter `{adapter}` was replaced while the request was read: send it "
            "again."
        )


class Overloaded(HotswapError):
    """`retry_after_s`: when there should be room again, by measured costs."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StillLoading(HotswapError):
    def __init__(self, adapter: str, reason: str | None = None) -> None:
        why = f"cannot be read just now: {reason}" if reason else "is being read"
        super().__init__(f"The adapter `{adapter}` {why}. Ask again soon.")
        self.retry_after_s = 1.0


class Stopping(HotswapError):
    def __init__(self) -> None:
        super().__init__("the server is stopping")


class InternalError(HotswapError):
    def __init__(self, what: str) -> None:
        super().__init__(f"an error in the server: {what}")


class StepFailed(HotswapError):
    pass


class DeviceFull(StepFailed):
    pass


class DeviceLost(HotswapError):
    pass


class MergeFailed(HotswapError):
    pass


class MixFailed(HotswapError):
    """`generation` is the key of the one at fault."""

    def __init__(self, generation: str, reason: str) -> None:
        super().__init__(f"generation {generation}: {reason}")
        self.generation = generation


class StartFailed(HotswapError):
    pass


class CommandFailed(HotswapError):
    pass
