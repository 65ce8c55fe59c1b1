"""BORIS' projects (.boris; Friard & Gamba 2016) in and out, and the events that it exports."""
