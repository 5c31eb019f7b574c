"""The real, costly side: worlds with price lists, the ledger that every real action passes, and acting for real."""
