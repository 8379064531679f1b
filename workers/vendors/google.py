"""Google, by Gemini's generateContent."""

import httpx2
from google import genai
from google.genai import errors, types

from workers.vendors.google_wire import NAME, answer_of, refusal_of
from workers.vendors.port import ATTEMPT_HEADER, ModelAnswer, ModelRequest
from workers.vendors.transport import broken

ADDRESS = "https://generativelanguage.googleapis.com"


class Google:
    """One project of Google; the base URL is without the API's version."""

    def __init__(self, key: str, base_url: str | None, http: httpx2.Client) -> None:
        self._client = genai.Client(
            api_key=key,
            vertexai=False,
            http_options=types.HttpOptions(
                base_url=base_url or ADDRESS,
                api_version="v1beta",
                httpx_client=http,
                retry_options=types.HttpRetryOptions(attempts=1),
            ),
        )

    def ask(self, request: ModelRequest) -> ModelAnswer:
        try:
            response = self._client.models.generate_content(
                model=request.model, contents=request.prompt, config=_config(request)
            )
        except errors.APIError as error:
            raise refusal_of(heard(error)) from error
        except httpx2.HTTPError as error:
            raise broken(NAME, error) from error
        http = response.sdk_http_response
        return answer_of((http.body if http else None) or "")


def heard(error: errors.APIError) -> httpx2.Response:
    """The HTTP answer behind an error of the SDK."""
    # The SDK knows several HTTP clients; with ours inside, an error always carries ours' response.
    if not isinstance(error.response, httpx2.Response):
        raise error
    return error.response


def params_of(request: ModelRequest) -> types.GenerateContentConfig:
    """What is asked for besides the prompt, the same live and in a batch."""
    return types.GenerateContentConfig(
        system_instruction=request.system,
        max_output_tokens=request.max_output_tokens,
        response_mime_type="application/json",
        response_json_schema=dict(request.schema),
    )


def _config(request: ModelRequest) -> types.GenerateContentConfig:
    live = {
        "automatic_function_calling": types.AutomaticFunctionCallingConfig(disable=True),
        # The SDK's own parsing drops the body, and the body is evidence.
        "should_return_http_response": True,
        "http_options": types.HttpOptions(
            timeout=int(request.timeout_seconds * 1000), headers={ATTEMPT_HEADER: request.attempt}
        ),
    }
    return params_of(request).model_copy(update=live)
