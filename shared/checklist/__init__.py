"""The disaster recovery steps: judges evidence that is handed to it, calls no store."""

from shared.checklist.api import Conversation, judge_conversation, judge_health
from shared.checklist.judgement import Judgement
from shared.checklist.sql import Marker, judge_migrations, judge_sql
from shared.checklist.vectors import FoundCollection, judge_collections

__all__ = [
    "Conversation",
    "FoundCollection",
    "Judgement",
    "Marker",
    "judge_collections",
    "judge_conversation",
    "judge_health",
    "judge_migrations",
    "judge_sql",
]
