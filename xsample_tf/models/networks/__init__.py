"""Networks: encoders, projection heads and text towers, of Keras layers."""
