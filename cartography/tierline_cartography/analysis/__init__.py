"""What the records say: pools, routes, their costs and how sure one can be; numpy alone."""
