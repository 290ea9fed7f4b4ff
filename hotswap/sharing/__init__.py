"""Sharing: several servers on one adapters directory are one to those who manage them.

The directory's own files are the truth, and the only one: what one server is told it
writes there, the others do as the files say, and whoever was told answers when all do.

sharing       what routes ask: a change, one at a time, until every server shows it
members       which servers share the directory, and what each has done
follower      the thread that does as the files say
shared_file   a file that others replace
crew_errors    what may go wrong besides
"""
