"""BIDS' ``_events.tsv`` (Gorgolewski et al. 2016, Scientific Data 3; BIDS 1.10), in and out."""
