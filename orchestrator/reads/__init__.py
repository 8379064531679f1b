"""What people and programs are shown of the ledger: typed values and the few queries behind each."""
