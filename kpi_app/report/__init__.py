"""Report: the KPIs of any span of time, united from stored windows, never summed or averaged."""
