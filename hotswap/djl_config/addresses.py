"""Addresses: which of DJL Serving's settings of where it listens count together."""

from hotswap.djl_config.properties_file import Entry
from hotswap.errors import StartFailed

_DEFAULT = "http://127.0.0.1:8080"
_CERTIFICATE, _PRIVATE_KEY = "certificate_file", "private_key_file"


def settle_addresses(told: dict[str, Entry]) -> list[str]:
    """Drop what has no meaning beside the others; notes of it, for people.

    `told`: what the environment says of the server, changed in place. Raises
    StartFailed for https:// without a certificate.
    """
    inference = told.get("inference_address")
    where = inference.text if inference else _DEFAULT
    management = told.get("management_address")
    if management and management.text == where:
        del told["management_address"]
    if where.startswith("https:"):
        if inference and not (_CERTIFICATE in told and _PRIVATE_KEY in told):
            raise StartFailed(
                f"{inference.said}: name SERVING_CERTIFICATE_FILE and "
                "SERVING_PRIVATE_KEY_FILE"
            )
        return []
    dropped = [told.pop(key) for key in (_CERTIFICATE, _PRIVATE_KEY) if key in told]
    return [f"{entry.name}: {where} is no https://" for entry in dropped]
