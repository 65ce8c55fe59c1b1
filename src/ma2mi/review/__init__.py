"""Review: a person sees the candidates of an analysis in a local page, decides, and all is kept."""
