"""From a circuit to its stochastic differential equation, linear or nonlinear."""
