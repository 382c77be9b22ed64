"""The policies that must hold what every policy holds."""

import pytest

from xsample_tf.data import views

POLICIES = [
    views.SimCLR(16),
    views.SimCLR(24, views=3, blur=True, strength=0.5),
    views.AutoAugment(16),
]


@pytest.fixture(scope="session", params=POLICIES, ids=["simclr", "simclr blur", "autoaugment"])
def policy(request):
    return request.param
