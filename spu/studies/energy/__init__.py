"""The energy ledger: prices with their sources, what a run takes of them, and digital references."""

from spu.studies.energy.assumptions import DEVICE as DEVICE
from spu.studies.energy.assumptions import REFERENCE as REFERENCE
from spu.studies.energy.assumptions import SIZES as SIZES
from spu.studies.energy.assumptions import Assumption as Assumption
from spu.studies.energy.assumptions import Assumptions as Assumptions
from spu.studies.energy.assumptions import Price as Price
from spu.studies.energy.assumptions import load_energy as load_energy
from spu.studies.energy.counted import Method as Method
from spu.studies.energy.devices import energy_of as energy_of
from spu.studies.energy.digital import methods as methods
from spu.studies.energy.digital import reference_of as reference_of
from spu.studies.energy.ledger import CLAIM as CLAIM
from spu.studies.energy.ledger import HEATS as HEATS
from spu.studies.energy.ledger import Amount as Amount
from spu.studies.energy.ledger import Condition as Condition
from spu.studies.energy.ledger import Ledger as Ledger
from spu.studies.energy.ledger import LedgerLine as LedgerLine
from spu.studies.energy.ledger import energy_ledger as energy_ledger
from spu.studies.energy.samplers import digital_samplers as digital_samplers
from spu.studies.energy.samplers import draw_digitally as draw_digitally
from spu.studies.energy.trained import counts_of as counts_of
