"""The pages of agents and users."""
