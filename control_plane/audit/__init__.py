"""The audit log: who changed what, when; append-only, written in the transaction of the change itself."""
