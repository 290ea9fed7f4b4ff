"""Sources: models and adapters that lie elsewhere - S3, the hub, an archive by HTTPS.

A URL is made a local folder whose content is complete and named by its digest. Read it
in the order in which one is fetched:

    location        a URL, taken apart; what of it may be told; what is allowed
    remote          what each kind of place can do: list files, send bytes; its faults
    s3_bucket       `s3://`, through fsspec and s3fs
    hub_repository  `hf://`, through huggingface_hub
    archive_url     `https://`, a tar archive
    http_stream     one answer of an HTTP server, as the two above read it
    wanted_files    which files are taken, and how large they may be
    download        a file from the network to the disk, resumed, bounded
    tar_archive     an archive on the disk to files, bounded
    content_cache   the folders that are kept, by digest, within a limit
    cache_users     who uses them
    fetcher         all of it: a location to a folder
    model_source    what is looked at when a server starts: the model, a directory
    mirror          a place with a folder for each adapter, as a directory of links
    links           that directory

Imports no torch. What a kind of place needs is loaded when the first URL names it.
"""
