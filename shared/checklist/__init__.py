"""The disaster recovery steps: judges evidence that is handed to it, calls no store.

Step 3 has no judge here: a collection is proven by the store that restores it, peer by peer, before its step
may succeed.
"""

from shared.checklist.api import Conversation, judge_conversation, judge_health
from shared.checklist.judgement import Judgement
from shared.checklist.sql import Marker, judge_migrations, judge_sql

__all__ = [
    "Conversation",
    "Judgement",
    "Marker",
    "judge_conversation",
    "judge_health",
    "judge_migrations",
    "judge_sql",
]
