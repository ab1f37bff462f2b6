"""Lanes that do their work as late as they may, to show what does not wait for what it needs."""

from __future__ import annotations

import threading
from collections import deque

import torch


class LateLanes:
    """Work lies until somebody waits for a mark behind it; then no more is done than needed."""

    def __init__(self):
        self.guard = threading.RLock()
        self.most_waiting = 0

    def lane(self):
        return LateLane(self)

    def pinned(self, size):
        return torch.full((size,), 0xEE, dtype=torch.uint8)  # nobody may count on what lies there


class LateLane:
    def __init__(self, lanes):
        self.lanes, self.given, self.done, self.total = lanes, deque(), 0, 0

    def run(self, work):
        with self.lanes.guard:
            self.given.append(work)
            self.total += 1
            self.lanes.most_waiting = max(self.lanes.most_waiting, len(self.given))

    def mark(self):
        return LateMark(self, self.total)

    def after(self, mark):
        self.run(mark.reached)

    def room(self, size):
        return torch.full((size,), 0xEE, dtype=torch.uint8)


class LateMark:
    def __init__(self, lane, place):
        self.lane, self.place = lane, place

    def reached(self):
        with self.lane.lanes.guard, torch.inference_mode():
            while self.lane.done < self.place:
                self.lane.done += 1
                self.lane.given.popleft()()
