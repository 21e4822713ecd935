"""The Agent: reconnection, policy and dialling inside the network that lets nothing in."""
