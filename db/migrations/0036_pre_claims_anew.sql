-- A claim that a report has ended leaves its click and its order: if that was the report of another
-- order, this one can be claimed anew.
ALTER TABLE claim DROP CONSTRAINT claim_of_a_click_is_one;
CREATE UNIQUE INDEX claim_of_a_click_is_one
    ON claim (program_id, click_id) WHERE conversion_id IS NULL;
DROP INDEX claim_of_an_order_is_one;
CREATE UNIQUE INDEX claim_of_an_order_is_one
    ON claim (program_id, merchant_id, lower(ltrim(order_id, '#'))) WHERE conversion_id IS NULL;
CREATE INDEX claim_by_click ON claim (program_id, click_id);
CREATE INDEX claim_by_order ON claim (program_id, lower(ltrim(order_id, '#')));
