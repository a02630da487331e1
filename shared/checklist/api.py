"""Steps 4 and 5 of the product's checklist: the API, and a conversation from end to end."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from shared.checklist.judgement import Judgement


def judge_health(status: int | None, waited_seconds: float, deadline_seconds: float) -> Judgement:
    """Whether the API answered 200 in time.

    Args:
        status: HTTP status of the last answer; None if there was none.
        waited_seconds: from the first question to the last answer.
        deadline_seconds: how long was allowed.
    """
    evidence = {"status": status, "waited_seconds": waited_seconds, "deadline_seconds": deadline_seconds}
    if status is None:
        return Judgement(evidence, (f"The API did not answer within {deadline_seconds:.0f} s.",))
    if status != 200:
        return Judgement(evidence, (f"The API answered {status} after {waited_seconds:.0f} s, not 200.",))
    if waited_seconds > deadline_seconds:
        late = f"The API answered after {waited_seconds:.0f} s; {deadline_seconds:.0f} s were allowed."
        return Judgement(evidence, (late,))
    return Judgement(evidence)


@dataclass(frozen=True)
class Conversation:
    """What came of a conversation.

    ``tokens`` is the number of token events, ``ended`` whether ``turn_end`` came, ``deadline_seconds`` how
    long it was waited for, ``last_event`` the name of the last event. ``recalled`` and ``found`` say whether
    the search in episodes returned the known episode, and the semantic search the known document; None where
    there was none to look for. ``episode`` and ``document`` tell which: an episode's id, a document's source.
    """

    status: int | None
    tokens: int
    ended: bool
    recalled: bool | None
    found: bool | None
    agent: str | None = None
    seconds: float = 0.0
    deadline_seconds: float | None = None
    events: int = 0
    last_event: str | None = None
    cut_off: bool = False
    episode: str | None = None
    document: str | None = None


def judge_conversation(conversation: Conversation) -> Judgement:
    """Whether the conversation came to its end, remembered an episode and found a document."""
    problems = []
    if conversation.status != 200:
        problems.append(f"The API answered {conversation.status or 'nothing'} to the message, not 200.")
    if conversation.tokens < 1:
        problems.append("No token came.")
    if not conversation.ended:
        problems.append(_unended(conversation))
    if conversation.recalled is False:
        problems.append("The known episode was not recalled.")
    if conversation.found is False:
        problems.append("The semantic search did not return the known document.")
    notes = []
    if conversation.recalled is None:
        notes.append("There was no known episode, so recall was not judged.")
    if conversation.found is None:
        notes.append("There was no known document, so the semantic search was not judged.")
    return Judgement(asdict(conversation), tuple(problems), tuple(notes))


def _unended(conversation: Conversation) -> str:
    last = f"; the last of {conversation.events} events was {conversation.last_event}"
    told = last if conversation.last_event else ""
    if conversation.cut_off and conversation.deadline_seconds is not None:
        limit = f"{conversation.deadline_seconds:.0f} s"
        return f"The turn did not end in time: it was given up after {limit}{told}."
    return f"The turn did not end: the stream stopped without turn_end{told}."
