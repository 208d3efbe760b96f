"""The diagonal Hessian of the architecture scalars, behind one interface."""
