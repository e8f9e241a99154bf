"""What the client tests share: brokers, client packages, a wire client and test data."""
