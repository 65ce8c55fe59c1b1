"""What a run looks like to a person: tables, figures, one page that needs nothing else."""
