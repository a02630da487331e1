from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable

import pyodbc
import pytest

from local.octopus import knowledge, loading, truth
from local.octopus.knowledge import Source
from local.octopus.loading import Loaded
from local.octopus.memory import Memory
from local.octopus.rows import TENANT, Message
from local.octopus.vectors import collection_of
from local.octopus.work import OngoingWork
from shared.clock import SystemClock
from tests.local.octopus.octopus import Stores


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


def test_loading_writes_agents_documents_and_episodes(loaded: Loaded, memory: Memory) -> None:
    assert len(loaded.agents) == 3
    assert loaded.chunks > 400
    for agent in loaded.agents:
        assert memory.agent(agent.id) == agent
    expected = {collection_of(agent.id) for agent in loaded.agents}
    assert expected <= set(memory.vectors.collections())


def test_a_point_carries_the_products_payload(loaded: Loaded, memory: Memory) -> None:
    agent = loaded.agents[1]
    point = next(memory.vectors.scroll(collection_of(agent.id)))
    assert point["payload"].keys() == {
        *("content", "source", "chunkIndex", "pageNumber"),
        *("category", "agentId", "tenantId", "indexedAt"),
    }
    assert (point["payload"]["agentId"], point["payload"]["tenantId"]) == (str(agent.id), str(TENANT))
    assert len(point["vector"]) == 384


def test_the_same_document_again_makes_no_new_points(memory: Memory) -> None:
    agent = memory.add_agent("Reads twice", "p", "")
    text = Source("twice", "", "Octopuses have three hearts.\n\n" * 60)
    first = memory.index(agent, [text])
    assert memory.index(agent, [text])[0].document_id == first[0].document_id
    found = list(memory.vectors.scroll(collection_of(agent.id)))
    assert len(found) == first[0].chunks == 3


def test_more_points_than_one_request_takes_all_arrive(memory: Memory) -> None:
    agent = memory.add_agent("Reads much", "p", "")
    (indexed,) = memory.index(agent, [Source("long", "", "word " * 40_000)])
    assert indexed.chunks > 200
    assert len(list(memory.vectors.scroll(collection_of(agent.id)))) == indexed.chunks


def test_an_agent_without_documents_finds_nothing(memory: Memory, loaded: Loaded) -> None:
    agent = memory.add_agent("Knows nothing", "p", "")
    assert memory.search(agent, "nonlocal", 5) == []
    assert memory.recall(agent, "nonlocal", 5) == []


def test_a_second_agent_of_the_same_name_is_refused(memory: Memory, loaded: Loaded) -> None:
    with pytest.raises(pyodbc.IntegrityError):
        memory.add_agent(loaded.agents[0].name, "p", "")


def test_an_old_episode_is_recalled_with_its_messages(memory: Memory, loaded: Loaded) -> None:
    proof = loading.RECALL_PROOF
    agent = next(one for one in loaded.agents if one.name == proof.agent)
    recalled = memory.recall(agent, proof.question, 20)
    (told,) = [one for one in recalled if one.episode.messages[0].content == proof.told]
    assert told.score > 0.3
    assert len(told.episode.messages) == 2


def test_a_semantic_search_finds_the_right_chunk(memory: Memory, loaded: Loaded) -> None:
    name, question, source = loading.SEARCH_PROOF
    agent = next(one for one in loaded.agents if one.name == name)
    assert memory.search(agent, question, 1)[0].payload["source"] == source


def test_an_episode_keeps_every_character_and_the_order_of_its_messages(memory: Memory) -> None:
    agent = memory.add_agent("Quotes", "p", "")
    said = [Message("user", "O'Neil said: «1;--» ☃ 🐙\r\n"), Message("assistant", "x" * 9_000)]
    said += [Message("user", str(number)) for number in range(12)]
    memory.remember(agent, "s", "u", said)
    assert list(memory.recall(agent, "O'Neil", 1)[0].episode.messages) == said


def test_work_goes_on_until_it_is_paused_and_loses_nothing(
    memory: Memory, loaded: Loaded, stores: Stores, sql: str
) -> None:
    work = OngoingWork(memory, random.Random(2), seconds=0.0).start()
    wait_until(lambda: work.done.documents >= 2)
    work.pause()
    done = dataclasses.replace(work.done)
    before = truth.read(sql, stores.qdrant)
    time.sleep(0.2)
    assert truth.differences(before, truth.read(sql, stores.qdrant)) == []
    assert work.done == done
    work.resume()
    wait_until(lambda: work.done.episodes > done.episodes)
    work.stop()
    after = truth.rows(sql)
    gained = len(after["Octopus_Episodes"]) - len(before.tables["Octopus_Episodes"])
    assert gained == work.done.episodes - done.episodes
    assert truth.unknown_agents(before) == []


def test_work_that_fails_says_so_when_it_is_paused(stores: Stores, sql: str) -> None:
    memory = Memory(sql.replace("OctopusDB", "Nowhere"), stores.qdrant, SystemClock())
    work = OngoingWork(memory, random.Random(3), seconds=0.0).start()
    with pytest.raises(pyodbc.Error):
        work.stop()
    memory.close()


def test_a_new_agent_can_be_added_later(memory: Memory, loaded: Loaded) -> None:
    agent = loading.add_agent(memory, knowledge.LATER)
    memory.index(agent, knowledge.LATER.sources()[:1])
    assert agent in memory.agents()
    assert memory.search(agent, "name resolution in blocks", 1)
