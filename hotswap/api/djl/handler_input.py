"""Handler input: a request as DJL hands it to a handler, and the adapter it names.

Headers are properties; the query's parameters and the body are content, the body under
"data". A key of this server's is not handed on.
"""

from litestar import Request

from hotswap.adapters.adapter_info import AdapterState
from hotswap.adapters.composition import is_written_as_sum
from hotswap.api.shared.adapter_names import meant, of_endpoint
from hotswap.api.shared.request_context import request_id
from hotswap.api.shared.selection import COMPONENT, HEADER, Selection, fix
from hotswap.api.shared.server_state import ServerState
from hotswap.errors import BadRequest, StillLoading, UnknownAdapter, UnknownModel
from hotswap.handler.djl_python.inputs import Input
from scheduler import BASE

_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
_MODEL = "model_name"


async def handler_input(
    request: Request, server: ServerState, endpoint: str | None
) -> tuple[Input, str | None]:
    """`endpoint` stands for one adapter. None: no adapter is named beside the body.

    Raises BadRequest, and UnknownAdapter or StillLoading for what is not served.
    """
    for said in (request.query_params.get(_MODEL), request.headers.get(_MODEL)):
        if said is not None and said not in server.names:
            raise UnknownModel(said)
    made = Input()
    made.properties = _properties(request, server)
    if "handler" in made.properties:
        raise BadRequest("The handler can't be overridden in a request", "handler")
    made.properties["requestId"] = request_id.get()
    named = _named(request, server, endpoint)
    query = request.query_params.dict()
    if endpoint is not None or "adapter" in query:
        query["adapter"] = [named or ""]
    for name, values in query.items():
        for value in values:
            made.content.add(name, bytearray(value.encode()))
    made.content.add("data", bytearray(await request.body()))
    return made, named


def _properties(request: Request, server: ServerState) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in request.headers.multi_items():
        if name == "authorization" and server.keys.is_locked:
            continue
        if name != _ATTRIBUTES:
            found[name] = value
            continue
        for pair in value.split(";"):
            key, is_pair, said = pair.partition("=")
            if is_pair:
                found[key.strip()] = said.strip()
    return found


def _named(request: Request, server: ServerState, endpoint: str | None) -> str | None:
    """The adapter's own name, "" is the bare model, by the first form that is there."""
    component = request.headers.get(COMPONENT)
    forms = {
        HEADER: request.headers.get(HEADER),
        COMPONENT: "" if component in server.names else component,
        "adapter": request.query_params.get("adapter"),
    }
    found: Selection | None = None
    for field, said in forms.items():
        if said is not None:
            own = meant(server, "" if said == BASE else said, field)
            found = Selection((own,), False, field)
            break
    if endpoint is not None:
        silent = Selection(("",), False, "model")
        found = fix(found or silent, of_endpoint(server, endpoint), endpoint)
    if found is None:
        return None
    (name,) = found.adapters
    _check_served(server, name, found.field)
    return name


def _check_served(server: ServerState, name: str, field: str) -> None:
    """Nobody else looks whether it is there: the handler may not ask the model."""
    row = server.engine.status.adapter(name) if name else None
    if not name or (row is None and is_written_as_sum(name)):
        return
    if row is None or row.state is AdapterState.FAILED:
        error = UnknownAdapter(name, row.reason if row else None)
        error.field = field
        raise error
    if row.state is AdapterState.LOADING:
        raise StillLoading(name, row.reason)
