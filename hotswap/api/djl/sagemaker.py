"""SageMaker's runtime: /endpoints, where its own clients post (boto3's and others).

    invocations                  InvokeEndpoint: what /predictions answers
    invocations-response-stream  InvokeEndpointWithResponseStream: the same, in frames

An endpoint is a name of the base model, or a name that stands for one adapter. Paths,
headers and shapes are those of botocore's model of `sagemaker-runtime`. Signatures are
not looked at: a server with keys wants one of them.
"""

from collections.abc import AsyncIterator

import msgspec
from litestar import MediaType, Request, Response, post
from litestar.params import FromPath
from litestar.response import Stream

from hotswap.api.djl.event_stream import MEDIA_TYPE, model_stream_error, payload_parts
from hotswap.api.djl.invocations import invoke_named
from hotswap.api.djl.sagemaker_headers import PREFIX, VARIANT
from hotswap.api.shared.request_record import GENERATES, record
from hotswap.api.shared.server_state import Injected
from hotswap.api.shared.submission import InjectedSubmitter

_RAN = {"x-Amzn-Invoked-Production-Variant": VARIANT}


@post("/endpoints/{model:str}/invocations", status_code=200, opt=GENERATES)
async def invoke_endpoint(
    request: Request,
    server: Injected,
    submitter: InjectedSubmitter,
    model: FromPath[str],
) -> Response:
    """The answer at once, or as its body says."""
    answer = await invoke_named(request, server, submitter, model)
    answer.headers |= _RAN
    return answer


@post(
    "/endpoints/{model:str}/invocations-response-stream",
    status_code=200,
    opt=GENERATES,
)
async def invoke_endpoint_with_response_stream(
    request: Request,
    server: Injected,
    submitter: InjectedSubmitter,
    model: FromPath[str],
) -> Response:
    """The same answer in frames: a part for each piece, if the body says `stream`."""
    answer = await invoke_named(request, server, submitter, model)
    if isinstance(answer, Stream):
        kind = answer.media_type
        frames = _frames(answer.iterator)  # type: ignore[arg-type]
    else:
        kind = MediaType.JSON.value
        frames = _whole(answer.content)
    told = {f"{PREFIX}Content-Type": kind, **_RAN, **answer.headers}
    return Stream(frames, media_type=MEDIA_TYPE, headers=told)


async def _frames(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Each chunk as a part. One that tells of an error, which whoever made it has noted
    before, is the exception that botocore raises."""
    async for chunk in chunks:
        now = record.get()
        if now is not None and now.error is not None:
            yield model_stream_error(str(now.error))
            continue
        for part in payload_parts(chunk):
            yield part


async def _whole(content: object) -> AsyncIterator[bytes]:
    written = content if isinstance(content, bytes) else msgspec.json.encode(content)
    for part in payload_parts(written):
        yield part


ROUTES = [invoke_endpoint, invoke_endpoint_with_response_stream]
