"""The disaster recovery steps: judges evidence that is handed to it, calls no store.

A single collection of step 3 is proven by the store that restores it, peer by peer, before its step may
succeed; all of them together are judged here.
"""

from shared.checklist.api import Conversation, judge_conversation, judge_health
from shared.checklist.environment import judge_live_collections
from shared.checklist.judgement import Judgement
from shared.checklist.sql import Marker, judge_check, judge_live_sql, judge_migrations, judge_sql
from shared.checklist.vectors import RestoredCollection, judge_vectors

__all__ = [
    "Conversation",
    "Judgement",
    "Marker",
    "RestoredCollection",
    "judge_check",
    "judge_conversation",
    "judge_health",
    "judge_live_collections",
    "judge_live_sql",
    "judge_migrations",
    "judge_sql",
    "judge_vectors",
]
