"""ELAN's annotation documents (.eaf, EAF 2.7 to 3.0; Wittenburg et al. 2006), in and out."""
