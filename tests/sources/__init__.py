"""Tests of the sources: the shipper of log files, and the generator of access logs."""
