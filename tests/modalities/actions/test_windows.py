"""Windows of episodes, at their beginnings and ends."""

from __future__ import annotations

import numpy as np
import pytest

from mmgen.modalities.actions import ActionChunks, Episode, ObservationEncoder, Windows, window


def _episode(steps: int, *, first: float, more: int = 0) -> Episode:
    numbers = first + np.arange(steps + more, dtype=np.float32)
    return Episode({"state": np.stack((numbers, -numbers), 1)}, 10 * numbers[:steps, None])


@pytest.fixture(scope="module")
def windows() -> Windows:
    episodes = [_episode(3, first=0), _episode(4, first=100, more=1)]
    return Windows(episodes, history=2, horizon=3)


def test_ends_are_repeated() -> None:
    steps = np.arange(5)
    for index, offsets, expected, padded in (
        (0, (-2, -1, 0), [0, 0, 0], [True, True, False]),
        (1, (-2, -1, 0), [0, 0, 1], [True, False, False]),
        (4, (0, 1, 2), [4, 4, 4], [False, True, True]),
        (2, (-9, 0, 9), [0, 2, 4], [True, False, True]),
    ):
        found, is_pad = window(steps, index, offsets)
        assert found.tolist() == expected and is_pad.tolist() == padded


def test_history_at_the_start_of_an_episode(windows: Windows) -> None:
    assert len(windows) == 7
    states = [observation["state"][:, 0].tolist() for observation, _ in windows]
    assert states[:3] == [[0, 0], [0, 1], [1, 2]]
    # The second episode sees nothing of the first.
    assert states[3:5] == [[100, 100], [100, 101]]


def test_chunks_at_the_end_of_an_episode(windows: Windows) -> None:
    chunks = [chunk[:, 0].tolist() for _, chunk in windows]
    assert chunks[0] == [0, 10, 20] and chunks[2] == [20, 20, 20]
    assert chunks[-1] == [1030, 1030, 1030]
    assert windows.padding(1).tolist() == [False, False, True]
    assert windows.padding(-1).tolist() == [False, True, True]
    complete = Windows(windows.episodes, history=2, horizon=3, complete=True)
    assert len(complete) == 3
    assert not any(complete.padding(i).any() for i in range(3))


def test_windows_fit_the_encoder_and_the_codec(windows: Windows) -> None:
    encoder, codec = ObservationEncoder({"state": (2, 2)}, dim=8), ActionChunks(3, 1)
    encoder.fit([y for y, _ in windows])
    codec.fit([x for _, x in windows])
    assert encoder.encode(encoder.prepare([y for y, _ in windows])).tokens.shape == (7, 2, 8)
    assert codec.encode(codec.prepare([x for _, x in windows])).z.shape == (7, 3, 1)


def test_what_is_not_there_is_refused(windows: Windows) -> None:
    for index in (7, -8):
        with pytest.raises(IndexError, match="There are 7 windows"):
            windows[index]
    for index in ("0", 0.0, True, None):
        with pytest.raises(TypeError, match="by its number"):
            windows[index]
    with pytest.raises(ValueError, match="No episode holds a chunk of 9 steps"):
        Windows(windows.episodes, history=1, horizon=9, complete=True)
    with pytest.raises(ValueError, match="No episode holds"):
        Windows([], history=1, horizon=1)
    with pytest.raises(ValueError, match="history is an integer of at least 1, got 0"):
        Windows(windows.episodes, history=0, horizon=1)


def test_an_episode_has_as_many_observations_as_actions_or_one_more() -> None:
    for steps in (2, 5):
        with pytest.raises(ValueError, match=f"3 or 4 observations; state has {steps}"):
            Episode({"state": np.zeros((steps, 2))}, np.zeros((3, 1)))
    with pytest.raises(TypeError, match="Expected state as an array"):
        Episode({"state": [[1.0]]}, np.zeros((1, 1)))
    with pytest.raises(ValueError, match="actions of finite numbers"):
        Episode({}, np.full((3, 1), np.nan))
