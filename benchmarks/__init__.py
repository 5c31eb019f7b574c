"""One runnable file per claim, with its peers, and the files of results that README is made from."""
