"""The library: which names stand for which adapters, and where their files lie.

Read it in the order in which a folder that is dropped becomes an adapter:

    folder_events    the system says that something happened in the directory
    folder_scan      a look at the whole of it, which reads no file
    watched_folder   what is remembered of each folder, and when it rests
    watch            the thread that looks, and says who came, changed and went
    library          what the watch, clients and the engine may ask for, on any thread
    orders           what a client asks, as values
    name_queues      the thread that answers: of one name in order
    transaction      a change as a generator, which yields what it has to read
    read_pool        reads it beside that thread, a few at once
    folder_reader    what is read of one folder; timed_read: how long that took
    adapter_sources  which names and folders an adapter may have
    remote_sources   the same of URLs, and what lies there; remote_watch: a directory
    registry         the rules of every change; room: how many there may be
    named_sums       sums of adapters that have a name; and how one is made
    hooks            the operator's own functions, who may veto it
    journal          what has to be there after a restart, in a json_file
    shared_journal   the same, which other servers write, too; followed: what they wrote
    entries          what each name stands for now; tells the engine by message

`lock` keeps a second server off the directory, unless they share it.
"""
