"""AdapterOptions: [adapters], where they come from and which ones are taken."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from hotswap.options import Auto, Count, Positive


class AdaptersConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    # The directory that is watched: each folder in it is an adapter. It may lie
    # elsewhere: s3://BUCKET/FOLDER, or hf://ORGANISATION/NAME with a folder for each.
    directory: str = ""
    # Other servers watch it, too, on this machine or others: what one is told, all do.
    shared: bool = False
    # A folder is read when its files have not changed for so long.
    quiet_s: Positive = 0.3
    # Look again and again, where the file system sends no events (NFS).
    polling: bool = False
    # Other folders that adapters registered over HTTP may come from.
    roots: tuple[str, ...] = ()
    # URLs that adapters registered over HTTP may come from, as they are or up to a last
    # "/*": "s3://bucket/prefix/*", "hf://organisation/*", "https://host/*".
    sources: tuple[str, ...] = ()
    # A larger adapter is not fetched.
    source_max_gb: Positive = 8.0
    # Disk that all that is fetched may take, the model as well; what was used least
    # recently leaves.
    source_cache_gb: Positive = 100.0
    # A directory that is elsewhere is looked at so often.
    source_poll_s: Positive = 30.0
    # Adapters known at once, in memory or on disk.
    max_adapters: Count = 10_000
    # A larger file of weights is refused; "auto" is one as large as the whole model in
    # float32.
    max_bytes: Count | Auto = "auto"
    # One whose merge would lose a larger share of its update is served mixed only.
    max_merge_loss: Annotated[float, Meta(ge=0, le=1)] = 0.5
    # What it means that an adapter says it was trained on another model.
    other_base: Literal["warn", "refuse"] = "warn"
