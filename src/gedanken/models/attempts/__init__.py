"""What becomes of programs, foretold across tasks: whether they fail, how good they are, how long they take."""
