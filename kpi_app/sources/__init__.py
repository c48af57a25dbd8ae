"""Sources: what brings records in. The shipper of log files, and a generator of access logs."""
