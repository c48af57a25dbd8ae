"""PURE: windows, watermarks, aggregates, fold and merge. Nothing here awaits or reads a clock."""
