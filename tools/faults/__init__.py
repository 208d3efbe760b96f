"""Commands that are broken on purpose: what they leave must equal what unbroken ones leave."""
