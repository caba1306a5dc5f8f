"""Run everything on one machine: what `./dev up` and `./dev redis` start."""
