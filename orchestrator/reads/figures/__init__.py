"""The ledger's figures for Prometheus. Counters are counted over the whole ledger at each scrape, so that no
restart sets them back and every process that is asked gives the same answer."""
