"""TGI's routes that generate: /, /generate, /generate_stream.

    read the body, with the adapter it names -> make requests -> submit -> answer

LoRAX has the same routes. `/` streams if the body says so, and puts an answer that is
sent at once into a list, as Hugging Face's inference API did.
"""

from collections.abc import AsyncIterator

from litestar import Request, Response, post
from litestar.response import Stream

from hotswap.api.openai.best_of import best
from hotswap.api.shared.grammar_spec import GrammarSpec
from hotswap.api.shared.http_status import status
from hotswap.api.shared.job_request import JobRequest, numbered
from hotswap.api.shared.prompt import Prompt
from hotswap.api.shared.request_body import read_body
from hotswap.api.shared.request_record import GENERATES, note_error
from hotswap.api.shared.running import Answer, Running, collect, primed
from hotswap.api.shared.server_state import Injected, ServerState
from hotswap.api.shared.submission import InjectedSubmitter, Submitter
from hotswap.api.tgi.schemas import Generate, GenerateParameters
from hotswap.api.tgi.shape import STATUS, AnswerShape, error_body, event, headers
from hotswap.errors import BadRequest
from hotswap.sampling_params import SamplingParams


@post("/", status_code=200, opt=GENERATES)
async def compatible(
    request: Request, server: Injected, submitter: InjectedSubmitter
) -> Response:
    """TGI's clients know this one alone."""
    return await _generate(request, server, submitter, in_list=True)


@post("/generate", status_code=200, opt=GENERATES)
async def generate(
    request: Request, server: Injected, submitter: InjectedSubmitter
) -> Response:
    """The whole answer."""
    return await _generate(request, server, submitter, streams=False)


@post("/generate_stream", status_code=200, opt=GENERATES)
async def generate_stream(
    request: Request, server: Injected, submitter: InjectedSubmitter
) -> Response:
    """Server-sent events, one for each token."""
    return await _generate(request, server, submitter, streams=True)


async def _generate(
    request: Request,
    server: ServerState,
    submitter: Submitter,
    *,
    streams: bool | None = None,
    in_list: bool = False,
) -> Response:
    """`streams`: None is what the body says."""
    body, selection = await read_body(request, server, Generate)
    parameters = body.parameters
    if streams is None:
        streams = body.stream
    elif body.stream and not streams:
        raise BadRequest("`stream`: it is /generate_stream that streams", "stream")
    (adapter,) = selection.for_inputs(1)
    scores = streams or parameters.tells_details or parameters.copies > 1
    params = parameters.to_params(server.sidecar(adapter), scores=scores)
    _check(parameters, params, streams=streams)
    grammar = _grammar(parameters)
    submitter.check_room(parameters.copies, "best_of")
    prompt = Prompt(
        body.inputs,
        "inputs",
        truncate=parameters.truncate,
        adds_special=body.add_special_tokens,
    )
    requests = [
        JobRequest(
            prompt=prompt,
            adapter=adapter,
            params=numbered(params, number),
            grammar=grammar,
        )
        for number in range(parameters.copies)
    ]
    running = await submitter.submit(requests, selection.field)
    samples = params.temperature > 0
    tokenizer = running.tokenizers[0]
    shape = AnswerShape(
        parameters, body.inputs, prompt.tokens, tokenizer, samples=samples
    )
    told = headers(server, running, adapter)
    if streams:
        events = await primed(running, _events(running, shape))
        return Stream(events, media_type="text/event-stream", headers=told)
    answers = await collect(request, running)
    (first,) = best(answers, candidates=len(answers), n=1)
    others = [answer for place, answer in enumerate(answers) if place != first]
    whole = shape.whole(answers[first], others)
    told |= {"x-generated-tokens": str(answers[first].generated)}
    return Response([whole] if in_list else whole, headers=told)


def _grammar(parameters: GenerateParameters) -> GrammarSpec | None:
    """Raises BadRequest for what contradicts it."""
    grammar = parameters.spec()
    if grammar is not None:
        grammar.check(
            stop=parameters.stop,
            ignore_eos=parameters.ignore_eos_token,
            names=("parameters.stop", "parameters.ignore_eos_token"),
        )
    return grammar


def _check(
    parameters: GenerateParameters, params: SamplingParams, *, streams: bool
) -> None:
    """Raises BadRequest for what contradicts itself, as TGI does."""
    if streams and parameters.copies > 1:
        raise BadRequest("`best_of` > 1 cannot be streamed", "parameters.best_of")
    if streams and parameters.decoder_input_details:
        field = "parameters.decoder_input_details"
        raise BadRequest("`decoder_input_details` cannot be streamed", field)
    if parameters.copies > 1 and params.temperature == 0:
        raise BadRequest(
            "`best_of` > 1 chooses among samples: ask for them by `do_sample` or "
            "`temperature`",
            "parameters.best_of",
        )


async def _events(running: Running, shape: AnswerShape) -> AsyncIterator[bytes]:
    answer = Answer()
    try:
        async for _, piece in running.pieces():
            answer.add(piece)
            yield shape.event(piece, answer)
    except Exception as error:
        note_error(error)
        if not running.has_begun:
            raise
        # The status is out already: the error can only be an event.
        yield event(error_body(error, status(error, STATUS)))
    finally:
        running.close()


ROUTES = [compatible, generate, generate_stream]
