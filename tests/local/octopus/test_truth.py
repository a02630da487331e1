from __future__ import annotations

from dataclasses import replace

from local.octopus.truth import SHOWN, Point, Table, Truth, differences, unknown_agents

AGENT = "7F3A8B2C-0000-0000-0000-000000000001"
AGENTS = Table(("AgentId", "Name"), ((AGENT, "Statements"), ("b", "Types")))
POINT = Point({"agentId": AGENT.lower(), "content": "x"}, [0.6, 0.8])
TRUTH = Truth({"Octopus_Agents": AGENTS, "Octopus_Areas": Table(("AreaId",), ())}, {"agent_1": {"p": POINT}})


def changed(*rows: tuple[str, str]) -> Truth:
    return replace(TRUTH, tables={**TRUTH.tables, "Octopus_Agents": Table(AGENTS.columns, rows)})


def with_points(**points: Point) -> Truth:
    return replace(TRUTH, collections={"agent_1": points})


def test_the_same_is_no_difference() -> None:
    assert differences(TRUTH, Truth(dict(TRUTH.tables), {"agent_1": {"p": POINT}})) == []
    assert (TRUTH.row_count, TRUTH.point_count) == (2, 1)


def test_a_lost_row_an_added_row_and_a_changed_value_are_named() -> None:
    assert differences(TRUTH, changed((AGENT, "Renamed"), ("c", "New"))) == [
        "The row of Octopus_Agents b is missing.",
        "The row of Octopus_Agents c should not be there.",
        f"Octopus_Agents, row {AGENT}: Name is 'Renamed' instead of 'Statements'.",
    ]


def test_a_lost_table_and_another_shape_are_named() -> None:
    lost = replace(TRUTH, tables={"Octopus_Agents": Table(("AgentId",), ())})
    assert differences(TRUTH, lost) == [
        "The table Octopus_Areas is missing.",
        "Octopus_Agents has the columns ('AgentId',) instead of ('AgentId', 'Name').",
    ]


def test_lost_and_added_collections_are_named() -> None:
    other = replace(TRUTH, collections={"agent_2": {}})
    assert differences(TRUTH, other) == [
        "The collection agent_1 is missing.",
        "The collection agent_2 should not be there.",
    ]


def test_lost_added_and_changed_points_are_named() -> None:
    assert differences(TRUTH, with_points(q=POINT)) == [
        "The point of agent_1 p is missing.",
        "The point of agent_1 q should not be there.",
    ]
    altered = Point({"agentId": "other", "content": "x", "more": 1}, [0.8, 0.6])
    assert differences(TRUTH, with_points(p=altered)) == [
        "agent_1, point p: its payload differs in agentId, more.",
        "agent_1, point p: its vector differs.",
    ]


def test_many_differences_are_counted_and_the_first_named() -> None:
    many = with_points(p=POINT, **{f"x{number:03}": POINT for number in range(50)})
    told = differences(TRUTH, many)
    assert len(told) == SHOWN + 1
    assert told[-1] == "… and 40 more differences."


def test_points_of_an_agent_without_a_row_are_found_whatever_the_case_of_its_id() -> None:
    assert unknown_agents(TRUTH) == []
    stray = Point({"agentId": "nobody"}, [1.0])
    assert unknown_agents(with_points(p=POINT, q=stray, r=Point({}, [1.0]))) == [
        "2 points of agent_1 refer to an agent that SQL Server does not know."
    ]
