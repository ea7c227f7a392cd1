"""One training by many processes (ranks), on one machine or several, by MPI."""
