"""Tests of the model store on a device."""
