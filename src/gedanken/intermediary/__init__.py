"""The intermediary: decides what is rehearsed, what is answered by the model and what is worth paying for."""
