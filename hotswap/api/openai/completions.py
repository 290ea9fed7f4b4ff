"""/v1/completions: OpenAI's route that continues plain text or tokens."""

from collections.abc import Sequence

from litestar import Request, Response, post

from hotswap.api.openai.answering import generate
from hotswap.api.openai.completion_shape import CompletionShape
from hotswap.api.openai.schemas import Completion
from hotswap.api.openai.structured import grammar_of
from hotswap.api.shared.prompt import Prompt
from hotswap.api.shared.request_body import read_body
from hotswap.api.shared.request_record import GENERATES
from hotswap.api.shared.server_state import Injected, ServerState
from hotswap.api.shared.submission import InjectedSubmitter, Submitter
from hotswap.errors import BadRequest


@post("/v1/completions", status_code=200, opt=GENERATES)
async def completions(
    request: Request, server: Injected, submitter: InjectedSubmitter
) -> Response:
    """Continue one prompt or several."""
    return await answer_completion(request, server, submitter)


async def answer_completion(
    request: Request,
    server: ServerState,
    submitter: Submitter,
    endpoint: str | None = None,
) -> Response:
    """Of a request that has OpenAI's body. `endpoint` as in `read_body`."""
    body, selection = await read_body(request, server, Completion, endpoint)
    texts = _texts(body)
    submitter.check_room(len(texts) * body.copies, "prompt")
    adapters = selection.for_inputs(len(texts))
    prompts = [
        Prompt(text, "prompt", **body.prompt_options(server.sidecar(adapter)))
        for text, adapter in zip(texts, adapters, strict=True)
    ]
    return await generate(
        request,
        server,
        submitter,
        body=body,
        prompts=prompts,
        selection=selection,
        grammar=grammar_of(body),
        shape=CompletionShape,
    )


def _texts(body: Completion) -> Sequence[str | Sequence[int]]:
    """A string, a list of strings, token ids, or a list of token ids: each prompt."""
    prompt = body.prompt
    if isinstance(prompt, str):
        return [prompt]
    if not prompt:
        raise BadRequest("`prompt` is empty", "prompt")
    tokens = [item for item in prompt if isinstance(item, int)]
    if not tokens:
        return [item for item in prompt if not isinstance(item, int)]
    if len(tokens) < len(prompt):
        raise BadRequest("`prompt` mixes texts and token ids", "prompt")
    return [tokens]


ROUTES = [completions]
