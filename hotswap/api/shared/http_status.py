"""HTTP status: the one table of codes."""

from collections.abc import Mapping
from types import MappingProxyType

from hotswap.api.shared.djl_errors import (
    IllegalArgument,
    IllegalNumber,
    InputRefused,
    UnknownEndpoint,
)
from hotswap.api.shared.http_errors import (
    BodyTooLarge,
    BodyTooSlow,
    ClientGone,
    CrossSite,
    EncodedBody,
    KeyForbids,
    KeyInQuery,
    KeyTooOften,
    NoKey,
    NotJson,
)
from hotswap.errors import (
    AdapterExists,
    AdapterRefused,
    BadRequest,
    BadSum,
    DeviceFull,
    DeviceLost,
    GenerationMismatch,
    GrammarFailed,
    HotswapError,
    InternalError,
    MergeFailed,
    MixFailed,
    NoRenderer,
    NoRoom,
    NotFound,
    NotKept,
    OtherTokenizer,
    Overloaded,
    PromptTooLong,
    SourceForbidden,
    SourceUnsupported,
    StepFailed,
    StillLoading,
    Stopping,
    UnknownAdapter,
    UnknownModel,
    Vetoed,
)
from hotswap.sharing.crew_errors import (
    ChangeUnderWay,
    NoServer,
    NotEverywhere,
    ServerGone,
)

# `djl/shape.STATUS` and `tgi/shape.STATUS` have those that their routes change.
STATUS: dict[type[HotswapError], int] = {
    BadRequest: 400,
    GrammarFailed: 400,
    PromptTooLong: 400,
    BadSum: 400,
    UnknownModel: 404,
    UnknownAdapter: 404,
    UnknownEndpoint: 404,
    InputRefused: 424,
    NotFound: 404,
    IllegalArgument: 409,
    IllegalNumber: 409,
    SourceUnsupported: 400,
    SourceForbidden: 403,
    CrossSite: 403,
    NoKey: 401,
    KeyForbids: 403,
    KeyTooOften: 429,
    KeyInQuery: 400,
    NotJson: 415,
    EncodedBody: 415,
    BodyTooSlow: 408,
    BodyTooLarge: 413,
    ClientGone: 499,  # nginx's; nobody is there to read it
    AdapterExists: 409,
    GenerationMismatch: 409,
    AdapterRefused: 422,
    Vetoed: 422,
    Overloaded: 429,
    InternalError: 500,
    StepFailed: 500,
    DeviceLost: 503,
    DeviceFull: 500,
    MergeFailed: 500,
    MixFailed: 500,
    NotKept: 500,
    ChangeUnderWay: 503,
    NotEverywhere: 503,
    ServerGone: 503,
    NoServer: 503,
    NoRenderer: 503,
    OtherTokenizer: 503,
    StillLoading: 503,
    Stopping: 503,
    NoRoom: 507,
}


def status(
    error: Exception, changed: Mapping[type[HotswapError], int] = MappingProxyType({})
) -> int:
    """The HTTP code of an error, whether or not it is one of ours; `changed`: where a
    family of routes has other codes. What may go well later, with nothing changed by
    who asks, says so."""
    if not isinstance(error, HotswapError):
        return 500
    kind = type(error)
    return 503 if error.is_passing else changed.get(kind, STATUS.get(kind, 500))
