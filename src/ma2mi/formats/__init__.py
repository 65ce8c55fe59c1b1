"""Files that other tools read and write: EAF, BORIS, BIDS and tables, in and out."""
