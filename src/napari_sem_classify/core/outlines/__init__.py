"""Outlines of a finished class map: from squares to edges, without a further annotation."""
